// @ts-check
// Elements in one line, and numbers as people read them.

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] `on…` are listeners; `data-…`, `aria-…` and `role` attributes.
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value))
    } else if (name in element && !name.includes('-')) {
      Object.assign(element, { [name]: value })
    } else {
      element.setAttribute(name, String(value))
    }
  }
  element.append(...children)
  return element
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value))
  element.append(...children)
  return element
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const element = document.getElementById(id)
  if (!element) throw new Error(`the page has no ${id}`)
  return element
}

/** Replaces the children only where the text of `key` has changed. @param {HTMLElement} parent @param {string} key @param {() => Node[]} make */
export function renew(parent, key, make) {
  if (parent.dataset.key === key) return
  parent.dataset.key = key
  parent.replaceChildren(...make())
}

/** @param {number | null | undefined} value */
export function figure(value) {
  if (value === null || value === undefined) return '–'
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size >= 1e6) return `${(value / 1e6).toFixed(1)} M`
  if (size >= 1e4) return `${Math.round(value / 1e3)} k`
  if (size >= 100) return String(Math.round(value))
  return size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)))
}

/** @param {number} bytes */
export function inBytes(bytes) {
  const units = ['B', 'kB', 'MB', 'GB']
  let unit = 0
  let value = bytes
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000
    unit += 1
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** @param {number} seconds */
export function inTime(seconds) {
  const whole = Math.round(seconds)
  if (whole < 120) return `${whole} s`
  return whole < 7_200 ? `${Math.floor(whole / 60)} min` : `${(whole / 3_600).toFixed(1)} h`
}

/** A member's life and the actor's life in it. @param {number} incarnation */
export function inLives(incarnation) {
  const member = Math.floor(incarnation / 2 ** 32)
  return member === 0 ? String(incarnation) : `${member}.${incarnation % 2 ** 32}`
}
