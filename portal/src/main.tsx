import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";
import { App } from "./app";
import { sessions } from "./lib/api";
import { makeQueryClient } from "./lib/queries";
import "./styles/global.css";

const client = makeQueryClient();

// What one account has seen, the next one must not.
sessions.subscribe(() => {
  if (sessions.state().session === null) client.clear();
});

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <BrowserRouter>
        <App />
      </BrowserRouter>
    </QueryClientProvider>
  </StrictMode>,
);
