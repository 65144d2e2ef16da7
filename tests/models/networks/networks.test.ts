import { describe, expect, test } from 'bun:test'
import { GraphError } from '../../../models/graph.ts'
import type { ImageNetwork, NetworkName } from '../../../models/networks/image-network.ts'
import { imageNetwork, networkNames, publishedSizeOf } from '../../../models/networks/networks.ts'
import { layoutOf } from '../../../models/parameters.ts'
import { elementCount } from '../../../protocol/tensor.ts'

/** Trained numbers, of auxiliary heads, multiply-adds, keys without and with auxiliary heads. */
const published = {
  googlenet: [6_998_552, 6_379_728, 1_582_671_872, 116, 128],
  'googlenet-bn': [6_624_904, 6_379_984, 1_498_376_192, 344, 364],
  'googlenet-small': [240_538, 0, 20_449_792, 230, 230],
  'inception-v3': [23_834_568, 3_326_696, 5_713_216_096, 566, 580],
  'inception-v4': [42_679_816, 0, 12_253_974_624, 896, 896],
  'inception-resnet-v2': [55_843_464, 0, 13_155_794_016, 1306, 1306],
  'inception-resnet-v1': [22_756_328, 0, 6_206_361_696, 684, 684],
} as const

/** Module, output, trained numbers. */
const modules: readonly (readonly [NetworkName, string, string, number])[] = [
  ['googlenet', 'inception3a', '256x28x28', 163_696],
  ['googlenet', 'inception4d', '528x14x14', 605_376],
  ['googlenet', 'inception5b', '1024x7x7', 1_444_080],
  ['inception-v3', 'Mixed_5b', '256x35x35', 255_904],
  ['inception-v3', 'Mixed_6a', '768x17x17', 1_153_280],
  ['inception-v3', 'Mixed_6e', '768x17x17', 2_141_952],
  ['inception-v3', 'Mixed_7a', '1280x8x8', 1_698_304],
  ['inception-v3', 'Mixed_7c', '2048x8x8', 6_076_800],
  ['inception-v4', 'features.3', '160x73x73', 55_488],
  ['inception-v4', 'features.4', '192x71x71', 189_312],
  ['inception-v4', 'features.10', '1024x17x17', 2_306_112],
  ['inception-v4', 'features.17', '1024x17x17', 2_936_256],
  ['inception-v4', 'features.18', '1536x8x8', 2_747_392],
  ['inception-v4', 'features.21', '1536x8x8', 4_553_088],
  ['inception-resnet-v2', 'mixed_5b', '320x35x35', 268_320],
  ['inception-resnet-v2', 'repeat.9', '320x35x35', 123_168],
  ['inception-resnet-v2', 'mixed_6a', '1088x17x17', 2_664_960],
  ['inception-resnet-v2', 'repeat_1.19', '1088x17x17', 1_126_784],
  ['inception-resnet-v2', 'mixed_7a', '2080x8x8', 3_880_960],
  ['inception-resnet-v2', 'repeat_2.8', '2080x8x8', 2_035_424],
  ['inception-resnet-v1', 'repeat_1.4', '256x35x35', 0],
  ['inception-resnet-v1', 'mixed_6a', '896x17x17', 0],
  ['inception-resnet-v1', 'mixed_7a', '1792x8x8', 0],
]

const asPublished = (network: NetworkName): ImageNetwork =>
  imageNetwork({
    network,
    size: publishedSizeOf(network),
    classes: network === 'googlenet-small' ? 10 : 1000,
  })

describe('the published numbers of', () => {
  for (const network of networkNames) {
    test(network, () => {
      const built = asPublished(network)
      const all = built.subnetworks.flatMap((subnetwork) => subnetwork.modules)
      const auxiliary = built.parameters.filter(
        ({ isAuxiliary, role }) => isAuxiliary && role !== 'statistics',
      )
      // PyTorch counts minibatches beside each running variance.
      const counters = ({ parameters }: ImageNetwork) =>
        parameters.filter(({ name }) => name.endsWith('running_var')).length
      const keys = (of: ImageNetwork) => of.parameters.length + counters(of)
      const without = imageNetwork({ ...built.options, auxiliary: false })
      expect([
        all.reduce((sum, { parameters }) => sum + parameters, 0),
        auxiliary.reduce((sum, { shape }) => sum + elementCount(shape), 0),
        all.reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0),
        keys(without),
        keys(built),
      ]).toEqual([...published[network]])
    })
  }

  for (const [network, name, output, parameters] of modules) {
    test(`${network}, ${name}`, () => {
      const all = asPublished(network).subnetworks.flatMap((subnetwork) => subnetwork.modules)
      const found = all.find((each) => each.name === name)
      expect(found?.output.join('x')).toBe(output)
      if (parameters > 0) expect(found?.parameters).toBe(parameters)
    })
  }
})

describe('names as timm has them:', () => {
  const cases = [
    ['inception-v4', 'features.6.branch1.0.conv.weight', [64, 384, 1, 1]],
    ['inception-v4', 'features.6.branch3.1.bn.running_var', [96]],
    ['inception-v4', 'features.19.branch2_3b.conv.weight', [256, 512, 3, 1]],
    ['inception-v4', 'features.3.conv.conv.weight', [96, 64, 3, 3]],
    ['inception-v4', 'last_linear.weight', [1000, 1536]],
    ['inception-resnet-v2', 'repeat.3.branch1.0.conv.weight', [32, 320, 1, 1]],
    ['inception-resnet-v2', 'repeat_1.3.conv2d.bias', [1088]],
    ['inception-resnet-v2', 'block8.conv2d.weight', [2080, 448, 1, 1]],
    ['inception-resnet-v2', 'mixed_5b.branch3.1.conv.weight', [64, 192, 1, 1]],
    ['inception-resnet-v2', 'conv2d_7b.bn.weight', [1536]],
    ['inception-resnet-v2', 'classif.weight', [1000, 1536]],
  ] as const
  for (const [network, name, shape] of cases) {
    test(`${network}, ${name}`, () => {
      const found = asPublished(network).parameters.find((parameter) => parameter.name === name)
      expect(found?.shape).toEqual([...shape])
    })
  }
})

describe('every network', () => {
  for (const network of networkNames) {
    test(`${network}: takes images from 32, with weights of the same shapes`, () => {
      const shapes = ({ parameters }: ImageNetwork) =>
        // Heads that exist only while training span what the image leaves.
        parameters.flatMap(({ name, shape, isAuxiliary }) =>
          isAuxiliary ? [] : [`${name} ${shape}`],
        )
      const classes = 10
      const expected = shapes(imageNetwork({ network, size: publishedSizeOf(network), classes }))
      for (const size of [32, 33, 47, 63, 64, 65, 96, 127, 128, 129, 224, 299, 331]) {
        expect(shapes(imageNetwork({ network, size, classes }))).toEqual(expected)
      }
    })

    test(`${network}: parts take up where the part before ends`, () => {
      const built = imageNetwork({ network, size: 32, classes: 10 })
      const { subnetworks, parameters } = built
      const graphs = subnetworks.map((_, from) =>
        built.forward({ from, to: from + 1, mode: 'evaluation', batch: 2 }),
      )
      graphs.slice(1).forEach((graph, index) => {
        expect(graph.inputs[0]?.name).toBe('activations')
        expect(graph.inputs[0]?.shape).toEqual(graphs[index]?.outputs[0]?.shape as number[])
      })
      const inputs = graphs.flatMap((graph) => graph.inputs.slice(1).map(({ name }) => name))
      const evaluated = parameters.filter(({ isAuxiliary }) => !isAuxiliary)
      expect(inputs).toEqual(evaluated.map(({ name }) => name))
      expect(graphs.at(-1)?.outputs[0]).toEqual({
        ...{ name: 'logits', dtype: 'float32', shape: [2, 10] },
      })
    })
  }

  test('lays its parameters out by subnetwork', () => {
    for (const network of networkNames) {
      const { parameters, subnetworks } = asPublished(network)
      const order = parameters.map(({ subnetwork }) => subnetwork)
      expect(order).toEqual(order.toSorted((a, b) => a - b))
      expect(new Set(order).size).toBe(subnetworks.length)
      expect(layoutOf(parameters).count).toBeGreaterThan(0)
    }
  })

  test('names what it cannot do', () => {
    const built = imageNetwork({ network: 'googlenet-bn', size: 32, classes: 10 })
    const to = built.subnetworks.length
    const part = { from: 0, to, mode: 'evaluation', batch: 1 } as const
    expect(() => built.forward({ ...part, from: 3, to: 3 })).toThrow(
      'subnetworks 0 to 10, not 3 to 3',
    )
    expect(() => built.forward({ ...part, to: to + 1 })).toThrow(GraphError)
    expect(() => built.forward({ ...part, mode: 'training', batch: 'N' })).toThrow(/minibatch/)
    expect(() => imageNetwork({ network: 'inception-v3', size: 31, classes: 10 })).toThrow(
      GraphError,
    )
  })
})

test('Dropout is as published, and can be turned off', () => {
  const masks = (network: NetworkName, dropout?: number) => {
    const built = imageNetwork({
      network,
      size: 32,
      classes: 10,
      ...(dropout !== undefined && { dropout }),
    })
    const to = built.subnetworks.length
    const { inputs, metadata } = built.forward({ from: 0, to, mode: 'training', batch: 2 })
    return inputs.flatMap(({ name, shape }) =>
      name.startsWith('dropout/') ? [`${name} ${shape[1]} ${metadata?.[name]}`] : [],
    )
  }
  expect(masks('googlenet')).toEqual([
    'dropout/aux1 1024 0.7',
    'dropout/aux2 1024 0.7',
    'dropout/fc 1024 0.4',
  ])
  expect(masks('inception-v3')).toEqual(['dropout/fc 2048 0.5'])
  expect(masks('inception-v3', 0)).toEqual([])
  expect(masks('googlenet-small')).toEqual([])
})
