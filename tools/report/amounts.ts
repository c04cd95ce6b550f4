const NUMBER = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 })
const DATE = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' })
const TIME = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' })
const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB']

/** 12,345 */
export function count(number: number): string {
  return NUMBER.format(number)
}

/** 1 file, 12 files */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`
}

/** 1.4 MB; a kilobyte is 1,000 bytes. */
export function bytes(number: number): string {
  const power = number < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(number) / 3))
  const amount = number / 1000 ** power
  return `${amount < 10 && power > 0 ? amount.toFixed(1) : NUMBER.format(amount)} ${UNITS[power]}`
}

/** A share from 0 to 1: 43 %, under 1 % as 0.4 %. */
export function percent(share: number): string {
  const points = share * 100
  if (points > 0 && points < 0.1) return '< 0.1 %'
  return `${points > 0 && points < 1 ? points.toFixed(1) : Math.round(points)} %`
}

/** 3 Nov 2026; what is no time stays as it is. */
export function date(iso: string | undefined): string {
  return written(DATE, iso)
}

/** 3 Nov 2026, 14:05 UTC */
export function time(iso: string | undefined): string {
  const text = written(TIME, iso)
  return text === '' || text === iso ? text : `${text} UTC`
}

function written(format: Intl.DateTimeFormat, iso: string | undefined): string {
  if (iso === undefined) return ''
  const at = new Date(iso)
  return Number.isNaN(at.getTime()) ? iso : format.format(at)
}

/** 0.4 s, 12 s, 3 min 5 s, 2 h 10 min */
export function seconds(number: number): string {
  if (number < 10) return `${number.toFixed(1)} s`
  const whole = Math.round(number)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 === 0 ? '' : ` ${whole % 60} s`}`
  const minutes = Math.floor((whole % 3600) / 60)
  return `${Math.floor(whole / 3600)} h${minutes === 0 ? '' : ` ${minutes} min`}`
}

/** Millionths of a dollar as $0.0123. */
export function dollars(micros: number): string {
  return `$${(micros / 1_000_000).toFixed(micros > 0 && micros < 10_000 ? 4 : 2)}`
}
