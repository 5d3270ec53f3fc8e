// Makes elements, and makes the page like newly made ones with as little change as possible: focus,
// selection and scroll positions stay where they are. Text is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "line", "text", "circle", "rect", "g", "title"]);

/** Makes an element; attributes that are null or false are left out, children that are null too. */
export function el(tag, attributes, ...children) {
  const node = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) {
      node.append(child.nodeType ? child : String(child));
    }
  }
  return node;
}

/** Makes the children of an element like these. */
export function fill(parent, ...fresh) {
  const focused = document.activeElement;
  like(parent, fresh.flat(Infinity).filter((node) => node !== null && node !== undefined && node !== false)
    .map((node) => (node.nodeType ? node : document.createTextNode(String(node)))));
  if (focused && focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true });
  }
}

function like(parent, fresh) {
  const named = new Map();
  for (const child of parent.children) {
    if (child.dataset.key) named.set(child.dataset.key, child);
  }
  let at = parent.firstChild;
  for (const next of fresh) {
    const key = next.dataset?.key;
    const old = key ? named.get(key) : at;
    if (old && old.nodeName === next.nodeName && (old.dataset?.key ?? "") === (key ?? "")) {
      if (old === at) at = at.nextSibling;
      else parent.insertBefore(old, at);
      become(old, next);
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function become(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  like(old, [...next.childNodes]);
}
