// Shows the value of a slider in its <output> as it is moved.
document.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  const output = event.target.form?.querySelector(`output[for="${event.target.id}"]`);
  if (output) output.textContent = event.target.value;
});
