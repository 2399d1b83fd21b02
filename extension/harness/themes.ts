// The colours of JupyterLab's own themes, as far as the board uses them.

export const THEMES: Record<string, Record<string, string>> = {
  light: {
    "--jp-layout-color0": "white",
    "--jp-content-font-color0": "rgba(0, 0, 0, 1)",
    "--jp-brand-color1": "#1976d2",
    "--jp-success-color1": "#388e3c",
    "--jp-error-color1": "#d32f2f",
    "--jp-warn-color1": "#f57c00",
  },
  dark: {
    "--jp-layout-color0": "#111111",
    "--jp-content-font-color0": "rgba(255, 255, 255, 1)",
    "--jp-brand-color1": "#2196f3",
    "--jp-success-color1": "#4caf50",
    "--jp-error-color1": "#f44336",
    "--jp-warn-color1": "#ff9800",
  },
};
