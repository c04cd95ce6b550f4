import { sqlConformance } from './conformance.ts'
import { openTestSql } from './testing.ts'

sqlConformance('postgres', openTestSql)
