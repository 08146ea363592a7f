'use client'

import { useActionState } from 'react'
import { greet } from './actions'

export default function Greeting() {
  const [greeting, action, pending] = useActionState(greet, 'nobody yet')

  return (
    <form action={action}>
      <input name="name" aria-label="name" />
      <button disabled={pending}>greet</button>
      <output>{greeting}</output>
    </form>
  )
}
