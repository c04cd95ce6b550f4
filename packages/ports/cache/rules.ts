import { SomaError } from '@soma/contracts/errors'

/** @throws `invalid_input` */
export function requireStep(key: string, by: number): void {
  if (!Number.isSafeInteger(by))
    throw new SomaError('invalid_input', `The counter "${key}" can not grow by ${by}. Use a whole number.`, { by })
}
