import { Link } from "react-router";
import { buttonClass } from "../components/button";
import { PageHeader } from "../components/page";
import ui from "../components/ui.module.css";

export function NotFoundPage() {
  return (
    <div className={ui.stack}>
      <PageHeader title="Page not found" />
      <p>There is nothing at this address. It may be mistyped, or from an older link.</p>
      <p>
        <Link className={buttonClass("primary")} to="/projects">
          Go to your projects
        </Link>
      </p>
    </div>
  );
}

/** In the place of a project that is not there. */
export function ProjectNotFound() {
  return (
    <div className={ui.stack}>
      <PageHeader title="Project not found" crumbs={[{ to: "/projects", label: "Projects" }]} />
      <p>It was deleted, or it belongs to another account.</p>
      <p>
        <Link className={buttonClass("primary")} to="/projects">
          Go to your projects
        </Link>
      </p>
    </div>
  );
}
