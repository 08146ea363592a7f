fetch('/api/time?asked=now')
  .then((answer) => answer.json())
  .then((said) => { document.getElementById('api').textContent = 'asked ' + said.asked })
