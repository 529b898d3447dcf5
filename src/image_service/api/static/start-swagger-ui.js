// A file of its own because the page's content security policy allows no inline script.

// A response that is an error is one line, and its examples are shown on a click.
const foldErrors = ({ React, getComponent }) => ({
  wrapComponents: {
    response: (Response) =>
      function Folded(props) {
        const [open, setOpen] = React.useState(false);
        const h = React.createElement;
        if (!/^[45]/.test(props.code)) return h(Response, props);
        const Markdown = getComponent("Markdown", true);
        const text = h(Markdown, { source: props.response.get("description") });
        const toggle = { type: "button", "aria-expanded": open, onClick: () => setOpen(!open) };
        const row = h(
          "tr",
          { className: "response folded" },
          h("td", { className: "response-col_status" }, props.code),
          h("td", { className: "response-col_description" }, h("button", toggle, text)),
          h("td", { className: "response-col_links" }),
        );
        return h(React.Fragment, null, row, open && h(Response, props));
      },
  },
});

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true, // in the browser's storage, so that it outlives a reload
  plugins: [foldErrors],
  tryItOutEnabled: true,
  validatorUrl: null, // the default asks another host
});
