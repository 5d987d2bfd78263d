import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The local stack, which `npm run dev` takes the API from.
const api = process.env.REKINDLE_API ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    // The Content-Security-Policy allows no inline script, and the browsers of
    // the target preload modules by themselves.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/api": api, "/downloads": api } },
  test: {
    include: ["src/**/*.test.{ts,tsx}"],
    environment: "happy-dom",
    restoreMocks: true,
    unstubGlobals: true,
  },
});
