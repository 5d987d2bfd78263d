import { Navigate, Route, Routes, useParams } from "react-router";
import { Shell, SignedIn } from "./components/shell";
import { EditProjectPage, NewProjectPage } from "./pages/edit";
import { LoginPage } from "./pages/login";
import { NotFoundPage } from "./pages/notfound";
import { ProjectPage } from "./pages/project";
import { ProjectListPage } from "./pages/projects";
import { StatusPage } from "./pages/status";

/** A page of one project. Another project is another page: nothing is carried over. */
function OfProject({ page: Page }: { page: (props: { projectId: string }) => React.ReactNode }) {
  const { projectId = "" } = useParams();
  return <Page key={projectId} projectId={projectId} />;
}

/**
 * The portal's addresses. Creating is not below /projects, where every name is
 * the id that some project may have, "new" too.
 */
export function App() {
  return (
    <Routes>
      <Route element={<Shell />}>
        <Route path="/login" element={<LoginPage />} />
        <Route element={<SignedIn />}>
          <Route path="/" element={<Navigate to="/projects" replace />} />
          <Route path="/projects" element={<ProjectListPage />} />
          <Route path="/new-project" element={<NewProjectPage />} />
          <Route path="/projects/:projectId" element={<OfProject page={ProjectPage} />} />
          <Route path="/projects/:projectId/edit" element={<OfProject page={EditProjectPage} />} />
          <Route path="/projects/:projectId/status" element={<OfProject page={StatusPage} />} />
        </Route>
        <Route path="*" element={<NotFoundPage />} />
      </Route>
    </Routes>
  );
}
