// Starts Swagger UI on the server's own OpenAPI document. Nothing is loaded from another host; credentials are kept in
// the page alone and are gone when it is closed.
"use strict";

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#explorer",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  defaultModelsExpandDepth: -1, // the document has one schema, that of an error
  tryItOutEnabled: true,
  syntaxHighlight: { activated: false }, // it fails on a page of a thousand tickets: "Maximum call stack size exceeded"
  validatorUrl: null, // by default it would ask a public service
});
