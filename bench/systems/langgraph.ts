import { Annotation, END, START, StateGraph } from '@langchain/langgraph'
import { PostgresSaver } from '@langchain/langgraph-checkpoint-postgres'
import pg from 'pg'
import { CONNECTIONS, type OpenSystem } from './system.ts'

const State = Annotation.Root({ sum: Annotation<number> })
type State = typeof State.State

const add =
  (step: number) =>
  async ({ sum }: State) => ({ sum: sum + step })

/**
 * LangGraph.js by its guide: a graph compiled with the PostgreSQL checkpointer. Durability is left at its default, `async`: the
 * checkpoint is written while the next step runs already, which is weaker, and faster, than what the platform does.
 */
export const openLangGraph: OpenSystem = async (connection) => {
  const pool = new pg.Pool({ ...connection, max: CONNECTIONS })
  const checkpointer = new PostgresSaver(pool)
  await checkpointer.setup()
  const graph = new StateGraph(State)
    .addNode('add-1', add(1))
    .addNode('add-2', add(2))
    .addNode('add-3', add(3))
    .addNode('add-4', add(4))
    .addNode('add-5', add(5))
    .addEdge(START, 'add-1')
    .addEdge('add-1', 'add-2')
    .addEdge('add-2', 'add-3')
    .addEdge('add-3', 'add-4')
    .addEdge('add-4', 'add-5')
    .addEdge('add-5', END)
    .compile({ checkpointer })
  return {
    async runOnce(id) {
      const { sum } = await graph.invoke({ sum: 0 }, { configurable: { thread_id: id } })
      return sum
    },
    close: () => pool.end(),
  }
}
