interface ImportMetaEnv {
  /** Where the API is, if not where the portal is. */
  readonly VITE_API_URL?: string;
}
