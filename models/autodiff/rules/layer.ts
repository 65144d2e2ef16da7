// The gradient of a normalisation of each example over its own last axes.
import { floatOf, integer, integers } from '../../graph.ts'
import { axisOf } from '../../shapes/reductions.ts'
import { type GradientRules, number, times, unbroadcast } from '../rule.ts'

export const layerRules: GradientRules = {
  // h = (x - mean) / deviation, y = scale h + bias: dx = (e - mean(e) - h mean(e h)) / deviation, e = scale g.
  LayerNormalization: (b, { node, grad, inputs: [x, scale, bias], isWanted }) => {
    if (!x || !scale) return []
    const first = axisOf(node, x.shape.length, -1)
    const axes = integers(x.shape.map((_, axis) => axis).slice(first))
    const attributes = { axes, keepdims: integer(1) }
    const mean = (value: typeof x) => b.node('ReduceMean', [value], { attributes })
    const centred = b.node('Sub', [x, mean(x)])
    const variance = mean(times(b, centred, centred))
    const epsilon = number(b, floatOf(node, 'epsilon', 1e-5))
    const deviation = b.node('Sqrt', [b.node('Add', [variance, epsilon])])
    const normal = b.node('Div', [centred, deviation])
    const toX = () => {
      const scaled = times(b, grad, scale)
      const along = times(b, normal, mean(times(b, scaled, normal)))
      const rest = b.node('Sub', [b.node('Sub', [scaled, mean(scaled)]), along])
      return b.node('Div', [rest, deviation])
    }
    return [
      isWanted(0) ? toX() : undefined,
      isWanted(1) ? unbroadcast(b, times(b, grad, normal), scale.shape) : undefined,
      bias && isWanted(2) ? unbroadcast(b, grad, bias.shape) : undefined,
    ]
  },
}
