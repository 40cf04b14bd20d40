"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const NAMED = ["front", "best", "muted", "curve", "failed", "paper", "near", "far"];

  // Figures name colours by role; the theme's CSS variables say what they are.
  const themed = (figure) => {
    const css = getComputedStyle(document.documentElement);
    const variable = (name) => css.getPropertyValue(`--${name}`).trim();
    const paint = (value) => {
      if (Array.isArray(value)) return value;
      if (value === null || typeof value !== "object") return value;
      const entries = Object.entries(value).map(([key, inner]) => {
        if (key === "color" && NAMED.includes(inner)) return [key, variable(inner)];
        if (key === "colorscale") return [key, inner.map(([place, name]) => [place, variable(name)])];
        return [key, paint(inner)];
      });
      return Object.fromEntries(entries);
    };
    const layout = structuredClone(figure.layout);
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      Object.assign(layout[axis], { gridcolor: variable("line"), linecolor: variable("line"), tickcolor: variable("line") });
    }
    Object.assign(layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: variable("ink") },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: variable("muted"), activecolor: variable("front") },
      hoverlabel: { bgcolor: variable("panel"), bordercolor: variable("line"), align: "left", font: { color: variable("ink"), size: 13 } },
    });
    return { data: figure.data.map(paint), layout };
  };

  const findRow = (trialId) => {
    const row = document.getElementById(`trial-${trialId}`);
    if (!row) return;
    show("all");
    document.querySelectorAll("tr.found").forEach((other) => other.classList.remove("found"));
    row.classList.add("found");
    row.scrollIntoView({ block: "center", behavior: "smooth" });
  };

  const draw = (name) => {
    const place = document.getElementById(name);
    if (!place) return;
    const figure = JSON.parse(document.getElementById(`${name}-data`).textContent);
    const leastWidth = figure.layout.meta?.least_width;
    if (leastWidth) place.style.minWidth = `${leastWidth}px`;
    if (figure.layout.height) place.style.height = `${figure.layout.height}px`;
    // The buttons are listed one by one: Plotly's own set may hold one that sends the chart to its cloud.
    const buttons = [["toImage"], ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];
    const isNarrow = window.innerWidth < 640;
    if (isNarrow) figure.layout.dragmode = false; // a finger scrolls the page
    const config = {
      responsive: true, displaylogo: false, displayModeBar: figure.layout.dragmode === false ? false : "hover",
      modeBarButtons: buttons, plotlyServerURL: "", showSendToCloud: false,
    };
    const render = () => {
      const { data, layout } = themed(figure);
      return Plotly.react(place, data, layout, config);
    };
    render().then(() => {
      place.dataset.drawn = "yes";
      place.on("plotly_click", (event) => {
        const trialId = event.points[0].customdata;
        if (trialId !== undefined) findRow(trialId);
      });
    });
    dark.addEventListener("change", render);
  };

  // Sorting: rows without a value stay at the end whichever way the column is sorted.
  const table = document.getElementById("trials");
  const sortBy = (button) => {
    const head = button.closest("th");
    const column = [...head.parentElement.children].indexOf(head);
    const isNumber = button.dataset.kind === "number";
    const descending = head.getAttribute("aria-sort") === "ascending";
    const valueOf = (row) => {
      const cell = row.children[column];
      const text = cell.dataset.value ?? cell.textContent.trim();
      if (text === "") return null;
      return isNumber ? Number(text) : text.toLowerCase();
    };
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = a < b ? -1 : a > b ? 1 : 0;
      return descending ? -order : order;
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  };

  const show = (group) => {
    for (const row of table.tBodies[0].rows) row.hidden = group !== "all" && row.dataset[group] !== "1";
    for (const button of document.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === group));
    }
  };

  if (table) {
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) sortBy(button);
    });
    document.querySelectorAll("[data-show]").forEach((button) => button.addEventListener("click", () => show(button.dataset.show)));
  }
  document.querySelectorAll(".plot").forEach((place) => draw(place.id));
})();
