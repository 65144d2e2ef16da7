// Where a model.onnx says what it is: the key of its metadata that holds a card as JSON.
export const MODEL_CARD = 'troupe'
