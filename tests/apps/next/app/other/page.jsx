export default function Other() {
  return <h1>the other page</h1>
}
