"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = read("figures"), themes = read("themes");
  const dark = matchMedia("(prefers-color-scheme: dark)"), narrow = matchMedia("(max-width: 700px)");

  // Only values under keys that tell a colour are names of colours; a label may be called "@head".
  const paint = (value, theme, isColour) => {
    if (typeof value === "string") {
      return isColour && value[0] === "@" ? theme[value.slice(1)] : value;
    }
    if (Array.isArray(value)) return value.map((item) => paint(item, theme, isColour));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(
      ([key, item]) => [key, paint(item, theme, /color/.test(key))]));
  };

  const template = (theme) => {
    const axis = {
      gridcolor: theme.grid, linecolor: theme.muted, tickcolor: theme.muted, zeroline: false,
      ticks: "outside", ticklen: 4, title: { font: { size: 12 }, standoff: 8 },
    };
    return { layout: {
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, sans-serif",
              size: 12, color: theme.ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 52, r: 14, t: 14, b: 44 }, xaxis: axis, yaxis: axis,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      hoverlabel: { bgcolor: theme.ground, bordercolor: theme.muted, font: { color: theme.ink } },
      modebar: { color: theme.muted, activecolor: theme.ink, bgcolor: "rgba(0,0,0,0)" },
      dragmode: narrow.matches ? false : "zoom",
    } };
  };

  const config = {
    responsive: true, displaylogo: false, scrollZoom: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  };

  const draw = (name) => Promise.all(figures.map(async (figure) => {
    const element = document.getElementById(figure.name);
    const theme = themes[name];
    const layout = paint(figure.layout, theme, false);
    await Plotly.react(element, paint(figure.traces, theme, false),
                       { ...layout, template: template(theme), autosize: true }, config);
    element.dataset.drawn = name;
  }));
  const current = () => draw(dark.matches ? "dark" : "light");

  // Plotly travels compressed: a report is 2 MB instead of 5.
  const unpack = async () => {
    const packed = atob(document.getElementById("plotly").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };

  const sortBy = (header) => {
    const table = header.closest("table"), at = header.cellIndex;
    const up = header.getAttribute("aria-sort") !== "ascending";
    const key = (row) => row.cells[at].textContent.trim();
    const number = (text) => Number.parseFloat(text.replaceAll(",", ""));
    const order = (a, b) => {
      const x = number(a), y = number(b);
      if (Number.isNaN(x) || Number.isNaN(y)) {
        return Number.isNaN(x) && Number.isNaN(y) ? a.localeCompare(b) : Number.isNaN(x) ? 1 : -1;
      }
      return x - y;
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * order(key(a), key(b)));
    table.tBodies[0].append(...rows);
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
  };
  for (const header of document.querySelectorAll(".sortable th")) {
    header.tabIndex = 0;
    header.addEventListener("click", () => sortBy(header));
    header.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sortBy(header); }
    });
  }
  for (const button of navigator.clipboard ? document.querySelectorAll(".copy") : []) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "copied";
    });
  }

  const start = async () => {
    if (!figures.length) return;
    try {
      await unpack();
      await current();
    } catch (error) {
      for (const plot of document.querySelectorAll(".plot")) {
        if (!plot.dataset.drawn) plot.textContent = `This browser cannot draw the figure: ${error}`;
      }
      throw error;
    }
    dark.addEventListener("change", current);
    addEventListener("beforeprint", () => draw("light"));
    addEventListener("afterprint", current);
  };
  start().finally(() => { document.documentElement.dataset.ready = "yes"; });
})();
