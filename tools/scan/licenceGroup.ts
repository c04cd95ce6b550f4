import correct from 'spdx-correct'
import parse from 'spdx-expression-parse'
import { LicenceGroup } from './licencesReport.ts'

/** The first that matches an SPDX id decides. What none matches is `unknown`. */
const GROUPS: [LicenceGroup, RegExp][] = [
  ['network-copyleft', /^(AGPL-|SSPL-|OSL-|RPL-|CPAL-|EUPL-|CAL-|NPOSL-|APSL-)/],
  [
    'weak-copyleft',
    /^(LGPL-|LGPLLR|MPL-|EPL-|CDDL-|CPL-|MS-RL|ErlPL-|IPL-|SPL-|NPL-|Nokia|SISSL|CECILL-C|OCLC-|LPPL-|eCos-|wxWindows|Motosoto|Interbase|Watcom)/,
  ],
  ['strong-copyleft', /^(GPL-|CC-BY-SA-|Sleepycat|QPL-|CECILL-[12]|SimPL-|NGPL|RPSL-|ODbL-|copyleft-next|TAPR-OHL|CERN-OHL-(S|1)|GFDL-)/],
  [
    'proprietary',
    /^(BUSL-|Elastic-|PolyForm-|CC-BY-NC|CC-BY-ND|Hippocratic-|Parity-|Prosperity-|FSL-|LicenseRef-|UNLICENSED$|Aladdin|JPL-image|NCGL)/i,
  ],
  [
    'permissive',
    /^(MIT|Apache-|BSD-|0BSD|ISC|Unlicense|CC0-|CC-BY-\d|CC-PDDC|PDDL-|Zlib|zlib-|BSL-1|Python-|PSF-|PostgreSQL|NCSA|X11|WTFPL|Artistic-|Ruby|UPL-|BlueOak-|Unicode-|AFL-|curl|[Ll]ibpng|IJG|OpenSSL|PHP-|ZPL-|W3C|HPND|ICU|FTL|Vim|MulanPSL-|OFL-|TCL|ODC-By|MS-PL|ECL-|EFL-|blessing|Beerware|Bitstream|NTP|bzip2-|SGI-B-2|Info-ZIP|CNRI-|NAIST|Spencer-|SMLNJ|TU-Berlin|Xnet|Fair|FSFAP|FSFUL|Naumen|NLOD|OLDAP-2\.[78]|Plexus|SAX-PD|SSH-|TCP-wrappers|Cube|DOC|EUDatagrid|ANTLR-PD|AAL|AMPAS|App-s2p|CERN-OHL-P|CDLA-Permissive|dtoa|GLWTPL|Intel|JasPer|JSON$|Linux-OpenIB|Minpack|mpich2|Multics|Net-SNMP|OGC-|Saxpath|snprintf|Sun|swrule|UCAR|Unlicense|VSL-|xpp|XSkat|YPL)/,
  ],
]

type Expression = ReturnType<typeof parse>

/**
 * A statement of a licence as an SPDX expression; null when there is none or it can't be understood. What says that the package is
 * not licensed to the public, `UNLICENSED`, stays as it is: SPDX has no word for it.
 */
export function normalisedExpression(stated: string | undefined): string | null {
  const text = stated?.trim()
  if (text === undefined || text === '' || text.length > 200) return null
  if (/^(UNLICENSED|proprietary)$/i.test(text)) return text
  if (/^(SEE LICEN[CS]E IN |none$)/i.test(text)) return null
  const alternatives = / (AND|OR|WITH) /.test(text) ? text : text.replace(/\s*\/\s*/g, ' OR ').replace(/\s*\|\|\s*/g, ' OR ')
  for (const candidate of [text, alternatives, text.length <= 60 ? correct(text) : null]) {
    const parsed = candidate === null ? undefined : tryParse(candidate)
    if (parsed) return written(parsed)
  }
  return null
}

/** What an expression asks: of alternatives the least, of conjunctions the most. */
export function groupOf(expression: string | null): LicenceGroup {
  if (expression === null) return 'unknown'
  const parsed = tryParse(expression)
  return parsed ? groupOfParsed(parsed) : groupOfId(expression.toLowerCase() === 'proprietary' ? 'UNLICENSED' : expression)
}

/** The ids that an expression names. */
export function idsIn(expression: string): string[] {
  const collect = (part: Expression): string[] =>
    'conjunction' in part ? [...collect(part.left), ...collect(part.right)] : 'license' in part ? [part.license] : []
  const parsed = tryParse(expression)
  return parsed ? collect(parsed) : []
}

/** True when one can choose among the alternatives so that all ids left are permitted. */
export function isSatisfiedBy(expression: string, isPermitted: (id: string) => boolean): boolean {
  const holds = (part: Expression): boolean => {
    if (!('conjunction' in part)) return 'license' in part && isPermitted(part.license)
    return part.conjunction === 'or' ? holds(part.left) || holds(part.right) : holds(part.left) && holds(part.right)
  }
  const parsed = tryParse(expression)
  return parsed !== undefined && holds(parsed)
}

function tryParse(text: string): Expression | undefined {
  try {
    return parse(text)
  } catch {
    return undefined // the library tells by throwing that it is no expression
  }
}

function written(part: Expression, within?: 'and' | 'or'): string {
  if ('conjunction' in part) {
    const text = `${written(part.left, part.conjunction)} ${part.conjunction.toUpperCase()} ${written(part.right, part.conjunction)}`
    return within === 'and' && part.conjunction === 'or' ? `(${text})` : text
  }
  if (!('license' in part)) return 'LicenseRef'
  return `${part.license}${part.plus ? '+' : ''}${part.exception ? ` WITH ${part.exception}` : ''}`
}

function groupOfParsed(part: Expression): LicenceGroup {
  if ('conjunction' in part) {
    const ranks = [part.left, part.right].map((side) => LicenceGroup.options.indexOf(groupOfParsed(side)))
    return LicenceGroup.options[part.conjunction === 'or' ? Math.min(...ranks) : Math.max(...ranks)] ?? 'unknown'
  }
  if (!('license' in part)) return 'proprietary'
  const group = groupOfId(part.license)
  // Exceptions to the GPL (Classpath, GCC, font, linking) let other works use it as a library.
  return part.exception && group === 'strong-copyleft' ? 'weak-copyleft' : group
}

function groupOfId(id: string): LicenceGroup {
  return GROUPS.find(([, pattern]) => pattern.test(id))?.[0] ?? 'unknown'
}
