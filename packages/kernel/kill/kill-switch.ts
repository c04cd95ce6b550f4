import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'

/** What a kill switch stops. `everything` is for the platform's operators alone: it crosses tenants. */
export const KillScope = z.enum(['everything', 'tenant', 'project', 'run', 'capsule', 'persona', 'tool'])
export type KillScope = z.infer<typeof KillScope>

export const KillSwitch = z.object({
  id: z.string(),
  tenant: z.string().describe('Tenant it was pulled in'),
  scope: KillScope,
  target: z.string().describe('Name of what is stopped: a tool or adapter, capsule, run…; * for tenant and everything'),
  reason: z.string(),
  by: z.string(),
  at: z.string(),
  liftedAt: z.string().optional(),
  liftedBy: z.string().optional(),
})
export type KillSwitch = z.infer<typeof KillSwitch>

/** What is asked for when a switch is pulled. */
export type KillRequest = Pick<KillSwitch, 'tenant' | 'scope' | 'target' | 'reason' | 'by'>

/** What an action is part of; a switch that names any of it stops the action. */
export interface KillSubject {
  tenant: string
  project?: string
  run?: string
  /** The capsule whose step it is, and those that called that one; each as `name@version`. */
  capsules?: readonly string[]
  persona?: string
  /** `git.log`; a switch on `git` covers it. */
  tool?: string
  /** Nothing stops it, not even a switch on everything: what lifting a switch needs. */
  exempt?: true
}

export function covers({ tenant, scope, target }: Pick<KillSwitch, 'tenant' | 'scope' | 'target'>, subject: KillSubject): boolean {
  if (subject.exempt) return false
  if (scope === 'everything') return true
  if (tenant !== subject.tenant) return false
  switch (scope) {
    case 'tenant':
      return true
    case 'tool':
      return subject.tool !== undefined && isTool(target, subject.tool)
    case 'capsule':
      return subject.capsules?.some((capsule) => capsule === target || capsule.split('@')[0] === target) === true
    case 'run':
      return isWithin(target, subject.run)
    case 'project':
      // A project is a run, and everything that is done for it is done in runs within that one.
      return subject.project === target || isWithin(target, subject.run)
    case 'persona':
      return subject.persona === target
  }
}

/** A run's children are named after it. */
function isWithin(target: string, run: string | undefined): boolean {
  return run === target || run?.startsWith(`${target}.`) === true
}

/** `git` and `git.*` are every operation of git, `git.log` is itself, `*.delete` is what is so called of every adapter. */
function isTool(target: string, tool: string): boolean {
  const parts = tool.split('.')
  const wanted = target.split('.')
  return wanted.length <= parts.length && wanted.every((part, place) => part === '*' || part === parts[place])
}

export function killedBy({ id, scope, target, by, reason }: KillSwitch): SomaError {
  return new SomaError('killed', `Stopped by kill switch ${id} (${scope} ${target}), pulled by ${by}: ${reason}`, {
    killSwitch: id,
    scope,
    retryable: false,
  })
}

/** What a switch of that scope is pulled on. */
export function targetOf({ scope, target }: Pick<KillSwitch, 'scope' | 'target'>): string {
  return scope === 'tenant' || scope === 'everything' ? '*' : target
}
