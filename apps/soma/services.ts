import type { Service } from '@soma/kernel/http/service'
import { analyticsService } from '@soma/services/analytics-service/service'
import { billingService } from '@soma/services/billing-service/service'
import { constitutionService } from '@soma/services/constitution-service/service'
import { gatewayApi } from '@soma/services/gateway-api/service'
import { identityService } from '@soma/services/identity-service/service'
import { notificationService } from '@soma/services/notification-service/service'
import { orchestrator } from '@soma/services/orchestrator/service'
import { policyEngine } from '@soma/services/policy-engine/service'
import { taskCapsuleRepo } from '@soma/services/task-capsule-repo/service'
import { toolService } from '@soma/services/tool-service/service'

/** Every service there is, in the order they start. `--services` chooses among them. */
export const SERVICES: readonly Service[] = [
  gatewayApi,
  identityService,
  constitutionService,
  policyEngine,
  taskCapsuleRepo,
  toolService,
  orchestrator,
  notificationService,
  billingService,
  analyticsService,
]
