/** Markup that is safe to put into a page. Only `html` makes it, so nothing that came as data can pass for it. */
const SAFE: unique symbol = Symbol('html')
export interface Html {
  readonly [SAFE]: string
}
export type Part = Html | string | number | undefined | false | readonly Part[]

const MAX_TEXT = 300

/** Fills in a template. Text is escaped; a list is joined; `undefined` and `false` leave nothing. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  return { [SAFE]: strings.reduce((whole, literal, index) => whole + textOf(parts[index - 1]) + literal) }
}

/** Puts in what the program itself wrote, as it stands. */
export function literal(text: string): Html {
  return { [SAFE]: text }
}

export function markupOf(markup: Html): string {
  return markup[SAFE]
}

function textOf(part: Part): string {
  if (part === undefined || part === false) return ''
  if (typeof part === 'number') return String(part)
  if (typeof part === 'string') return escapeHtml(part)
  return SAFE in part ? part[SAFE] : part.map(textOf).join('')
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;', '`': '&#96;' }

function escapeHtml(text: string): string {
  return visibleText(text).replace(/[&<>"'`]/g, (character) => ENTITIES[character] as string)
}

/**
 * Text as it really is: characters that are not seen, or turn the direction of what follows them, are written out, so that
 * `invoice\u202Efdp.exe` can not pass for `invoiceexe.pdf`; over-long text is cut.
 */
export function visibleText(text: string, most = MAX_TEXT): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text
  return cut
    .toWellFormed()
    .replace(
      /[\p{Cc}\u00AD\u061C\u180E\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF\uFFF9-\uFFFB\u{E0000}-\u{E007F}]/gu,
      (character) =>
        /[\n\t]/.test(character) ? ' ' : `[U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    )
}
