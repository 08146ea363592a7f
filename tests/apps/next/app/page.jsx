import Link from 'next/link'
import Greeting from './greeting'

export default function Page() {
  return (
    <main>
      <h1>first text</h1>
      <Greeting />
      <Link href="/other">other</Link>
    </main>
  )
}
