// Formulas such as "(H - K + 2*P)/S + 1" as MathML: fractions drawn, products with a dot or a cross. A text that is no formula
// gives null and is shown as it is.

type Tree =
  | { kind: "word" | "number"; text: string }
  | { kind: "group"; inner: Tree }
  | { kind: "call"; name: string; inner: Tree[] }
  | { kind: "binary"; operator: string; left: Tree; right: Tree }
  | { kind: "minus"; inner: Tree };

const TOKEN = /\s*(?:(\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)|([\p{L}_][\p{L}\p{N}_]*(?: [\p{L}_][\p{L}\p{N}_]*)*)|([-+*/(),=]))/uy;

interface Token { kind: "number" | "word" | "sign"; text: string }

function tokens(text: string): Token[] | null {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length && /\S/.test(text.slice(TOKEN.lastIndex))) {
    const match = TOKEN.exec(text);
    if (!match) return null;
    if (match[1]) found.push({ kind: "number", text: match[1] });
    else if (match[2]) found.push({ kind: "word", text: match[2] });
    else found.push({ kind: "sign", text: match[3]! });
  }
  return found;
}

class Parser {
  private at = 0;
  constructor(private readonly all: Token[]) {}

  private sign(...wanted: string[]): string | null {
    const token = this.all[this.at];
    if (token?.kind !== "sign" || !wanted.includes(token.text)) return null;
    this.at++;
    return token.text;
  }

  whole(): Tree | null {
    const found = this.equation();
    return found && this.at === this.all.length ? found : null;
  }

  private chain(signs: string[], next: () => Tree | null): Tree | null {
    let left = next();
    while (left) {
      const operator = this.sign(...signs);
      if (!operator) return left;
      const right = next();
      if (!right) return null;
      left = { kind: "binary", operator, left, right };
    }
    return null;
  }

  private equation = (): Tree | null => this.chain(["="], this.sum);
  private sum = (): Tree | null => this.chain(["+", "-"], this.product);
  private product = (): Tree | null => this.chain(["*", "/"], this.factor);
  private factor = (): Tree | null => {
    if (this.sign("-")) {
      const inner = this.factor();
      return inner && { kind: "minus", inner };
    }
    if (this.sign("(")) {
      const inner = this.equation();
      return inner && this.sign(")") ? { kind: "group", inner } : null;
    }
    const token = this.all[this.at];
    if (!token || token.kind === "sign") return null;
    this.at++;
    if (token.kind === "number") {
      const next = this.all[this.at];
      if (next?.kind === "word" && /^[A-Z]$/.test(next.text)) { // "2P"
        this.at++;
        return { kind: "binary", operator: "", left: { kind: "number", text: token.text }, right: { kind: "word", text: next.text } };
      }
      return { kind: "number", text: token.text };
    }
    if (/^\w+$/.test(token.text) && this.sign("(")) {
      const inner: Tree[] = [];
      do {
        const argument = this.equation();
        if (!argument) return null;
        inner.push(argument);
      } while (this.sign(","));
      return this.sign(")") ? { kind: "call", name: token.text, inner } : null;
    }
    return { kind: "word", text: token.text };
  };
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const SPACE = ' lspace="0.22em" rspace="0.22em"';
const SIGNS: Record<string, string> = { "*": "×", "-": "−", "": "&#x2062;" };

function write(tree: Tree): string {
  switch (tree.kind) {
    case "number": return `<mn>${escape(tree.text)}</mn>`;
    case "word": return `<mi>${escape(tree.text)}</mi>`; // not mtext: beside it an operator has no space of its own
    case "group": return `<mrow><mo>(</mo>${write(tree.inner)}<mo>)</mo></mrow>`;
    case "minus": return `<mrow><mo>−</mo>${write(tree.inner)}</mrow>`;
    case "call": return `<mrow><mi>${escape(tree.name)}</mi><mo>(</mo>${tree.inner.map(write).join("<mo>,</mo>")}<mo>)</mo></mrow>`;
    case "binary": {
      if (tree.operator === "/") return `<mfrac>${write(bare(tree.left))}${write(bare(tree.right))}</mfrac>`;
      return `<mrow>${write(tree.left)}<mo${tree.operator === "" ? "" : SPACE}>${SIGNS[tree.operator] ?? tree.operator}</mo>${write(tree.right)}</mrow>`;
    }
  }
}

const bare = (tree: Tree): Tree => (tree.kind === "group" ? tree.inner : tree);

/** The inside of a <math> element, or null where the text is not a formula. */
export function mathml(text: string): string | null {
  const all = tokens(text);
  const tree = all?.length ? new Parser(all).whole() : null;
  return tree && write(tree);
}
