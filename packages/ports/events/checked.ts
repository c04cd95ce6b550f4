import { SomaError } from '@soma/contracts/errors'
import { requireName } from '@soma/contracts/requirements'
import type { Events } from './port.ts'
import { requireAttempts, requireEvent, requireTopic } from './rules.ts'
import type { Topics } from './views.ts'

/** A driver that is asked only for what can be done: whatever the broker, the same is refused with the same words. */
export function withChecks(driver: Events, topics: Topics): Events {
  let closed = false

  function refuseWhenClosed(): void {
    if (closed) throw new SomaError('shutting_down', 'The events are closed. Start again to use them.')
  }

  return {
    async publish(topic, events) {
      refuseWhenClosed()
      requireTopic(topic)
      topics.requirePublishable(topic)
      for (const event of events) requireEvent(event)
      await driver.publish(topic, events)
    },
    async consume(options) {
      refuseWhenClosed()
      requireTopic(options.topic)
      requireName('group', options.group)
      requireAttempts(options.attempts)
      return driver.consume(options)
    },
    async rewind(topic, group) {
      refuseWhenClosed()
      requireTopic(topic)
      requireName('group', group)
      await driver.rewind(topic, group)
    },
    version: () => driver.version(),
    async close() {
      closed = true
      await driver.close()
    },
  }
}

export function stillConsumed(topic: string, group: string): SomaError {
  const message = `Group "${group}" of topic "${topic}" is being consumed. Stop its consumers, then rewind it.`
  return new SomaError('conflict', message, { topic, group })
}
