import type { Adapter } from '@soma/contracts/operation'
import { filesAdapter } from '@soma/tools/files/adapter'
import { gitAdapter } from '@soma/tools/git/adapter'
import { httpAdapter } from '@soma/tools/http/adapter'
import { playwrightAdapter } from '@soma/tools/playwright/adapter'
import { reportAdapter } from '@soma/tools/report/adapter'
import { scanAdapter } from '@soma/tools/scan/adapter'
import { terraformAdapter } from '@soma/tools/terraform/adapter'

/** Every tool adapter that comes with the platform. */
export const ADAPTERS: readonly Adapter<unknown>[] = [
  gitAdapter,
  filesAdapter,
  scanAdapter,
  reportAdapter,
  httpAdapter,
  terraformAdapter,
  playwrightAdapter,
] as readonly Adapter<unknown>[]
