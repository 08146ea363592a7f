import streamlit as st

st.title("counter")
if "count" not in st.session_state:
    st.session_state.count = 0
if st.button("more"):
    st.session_state.count += 1
st.write(f"pressed {st.session_state.count} times")
