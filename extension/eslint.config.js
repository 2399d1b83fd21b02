import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules/**", "harness/built/**"] },
  ...tseslint.configs.strict,
  {
    rules: {
      "max-lines": ["error", 400],
      "max-lines-per-function": ["error", 50],
      "no-console": "error",
      eqeqeq: "error",
    },
  },
  {
    // A test file's `describe` holds all its cases.
    files: ["test/**", "harness/**"],
    rules: { "max-lines-per-function": "off" },
  },
);
