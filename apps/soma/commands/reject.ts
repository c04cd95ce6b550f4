import { configureDecision } from './approve.ts'

export default configureDecision(false)
