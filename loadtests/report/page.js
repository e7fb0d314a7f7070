// Shows the numbers under the pointer. The page reads the same without it.
for (const plot of document.querySelectorAll("[data-hover]")) {
  const hover = JSON.parse(plot.dataset.hover);
  const rule = plot.appendChild(document.createElement("div"));
  const tip = plot.appendChild(document.createElement("div"));
  rule.className = "rule";
  tip.className = "tip";
  rule.hidden = tip.hidden = true;
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const count = hover.at.length;
    const at = Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * count)));
    const share = (at + 0.5) / count;
    rule.hidden = tip.hidden = false;
    rule.style.left = `${share * 100}%`;
    tip.textContent = [hover.at[at], ...hover.rows.map(([name, values]) => `${name}  ${values[at]}`)].join("\n");
    tip.style.left = share < 0.5 ? `calc(${share * 100}% + 8px)` : "";
    tip.style.right = share < 0.5 ? "" : `calc(${(1 - share) * 100}% + 8px)`;
  });
  plot.addEventListener("pointerleave", () => {
    rule.hidden = tip.hidden = true;
  });
}
