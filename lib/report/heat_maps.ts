/**
 * Numbers on a grid as colours, several grids beside each other on one scale: distributions of a next state, say.
 *
 * A pure function from numbers to a Plotly figure, like those of `figures.ts`. It is apart from them because heat maps are
 * not in Plotly's basic bundle: a page that holds one brings the whole of plotly.js.
 */
import type { PlotlyFigure } from "./figures.ts";
import { colors, fontStack } from "./theme.ts";

/**
 * Grids beside each other on one colour scale, white for 0.
 *
 * @throws {RangeError} When there is no grid, or one has no cell.
 */
export function heatMaps(
  maps: readonly {
    /** Above the grid. */
    title: string;
    /** Rows from the top; each a number a column. */
    values: readonly (readonly number[])[];
    /** Cells to point at, as [column, row, symbol]: symbols are Plotly's (`x`, `circle-open`). */
    marks?: readonly (readonly [column: number, row: number, symbol: string])[];
  }[],
  options: {
    /** What the colours mean, beside the scale. */
    legend?: string;
    /** Value of the darkest colour; the largest of all grids unless told. */
    max?: number;
    /** Pixels of the figure's height; 300 unless told. */
    height?: number;
  } = {},
): PlotlyFigure {
  if (maps.length === 0) throw new RangeError("heatMaps needs at least one grid: received none");
  const empty = maps.find(({ values }) => (values[0]?.length ?? 0) === 0);
  if (empty) throw new RangeError(`the grid ${JSON.stringify(empty.title)} must have at least one cell: it has none`);
  const { legend = "", height = 300 } = options;
  const top = options.max ?? Math.max(...maps.flatMap(({ values }) => values.flat()));
  const data: PlotlyFigure["data"] = [], axes: Record<string, unknown> = {}, annotations: unknown[] = [];
  const gap = 0.04, width = (1 - gap * (maps.length - 1)) / maps.length;
  maps.forEach(({ title, values, marks = [] }, i) => {
    const name = i === 0 ? "" : String(i + 1), left = i * (width + gap);
    data.push({
      type: "heatmap",
      z: values,
      xaxis: `x${name}`,
      yaxis: `y${name}`,
      zmin: 0,
      zmax: top,
      xgap: 1,
      ygap: 1,
      colorscale: [[0, "#f3f5f9"], [0.15, "#cfe0fb"], [0.5, "#5b98f0"], [1, "#0b3d91"]],
      showscale: i === maps.length - 1 && legend !== "",
      colorbar: { title: { text: legend, side: "right" }, thickness: 12, outlinewidth: 0 },
      hovertemplate: "(%{x}, %{y}): %{z:.3f}<extra></extra>",
    });
    if (marks.length > 0) {
      data.push({
        type: "scatter",
        mode: "markers",
        x: marks.map(([column]) => column),
        y: marks.map(([, row]) => row),
        xaxis: `x${name}`,
        yaxis: `y${name}`,
        marker: { size: 12, symbol: marks.map(([, , symbol]) => symbol), color: "#e07a1f", line: { width: 2 } },
        hoverinfo: "skip",
        showlegend: false,
      });
    }
    const plain = { showgrid: false, zeroline: false, showticklabels: false, ticks: "" };
    axes[`xaxis${name}`] = { ...plain, domain: [left, left + width], anchor: `y${name}`, constrain: "domain" };
    axes[`yaxis${name}`] = {
      ...plain,
      autorange: "reversed",
      anchor: `x${name}`,
      scaleanchor: `x${name}`,
      constrain: "domain",
    };
    annotations.push({
      text: title.replaceAll("&", "&amp;").replaceAll("<", "&lt;"),
      x: left + width / 2,
      xanchor: "center",
      y: 1.02,
      xref: "paper",
      yref: "paper",
      yanchor: "bottom",
      showarrow: false,
      font: { size: 13, color: colors.text },
    });
  });
  return {
    data,
    layout: {
      ...axes,
      annotations,
      height,
      font: { family: fontStack, size: 13, color: colors.text },
      paper_bgcolor: "white",
      plot_bgcolor: "white",
      margin: { l: 8, r: 8, t: 40, b: 8 },
    },
  };
}
