from flask import Flask, redirect, render_template, request, session

app = Flask(__name__)
app.secret_key = "only for this test"


@app.get("/")
def home():
    if "name" not in session:
        return redirect("/login")
    return render_template("home.html", name=session["name"])


@app.get("/login")
def login_form():
    return render_template("login.html")


@app.post("/login")
def login():
    session["name"] = request.form["name"]
    return redirect("/")


@app.post("/logout")
def logout():
    session.clear()
    return redirect("/login")
