const crypto = require('node:crypto')
const path = require('node:path')
const express = require('express')
const multer = require('multer')

const app = express()
const upload = multer({ storage: multer.memoryStorage() })

app.use(express.static(path.join(__dirname, 'public')))
app.use(express.urlencoded())

app.get('/api/time', (req, res) => res.json({ asked: req.query.asked }))
app.get('/old', (req, res) => res.redirect('/new'))
app.get('/new', (req, res) => res.send('<!doctype html><title>new</title><h1>the new page</h1><a href="/">home</a>'))
app.post('/note', (req, res) => res.send(`<!doctype html><title>note</title><h1>noted ${req.body.note.length}</h1>`))
app.post('/upload', upload.single('file'), (req, res) => {
  const hash = crypto.createHash('sha256').update(req.file.buffer).digest('hex')
  res.send(`<!doctype html><title>upload</title><h1>${req.file.originalname} ${hash}</h1>`)
})

app.listen(process.env.PORT)
