import { useState } from 'react'
import dot from './dot.svg?no-inline'

export default function App() {
  const [count, setCount] = useState(0)

  return (
    <main>
      <h1>first text</h1>
      <img src={dot} alt="dot" />
      <button onClick={() => setCount(count + 1)}>count is {count}</button>
    </main>
  )
}
