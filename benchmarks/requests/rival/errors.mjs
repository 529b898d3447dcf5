// Errors with a stable code, and the envelope they are sent in.
export class ApiError extends Error {
  constructor(status, error, code, message, extra = {}) {
    super(message);
    Object.assign(this, { status, error, code, extra });
  }
}

export const notFound = () =>
  new ApiError(404, "NotFound", "IMAGE_NOT_FOUND", "There is no such image.");
export const notAuthorized = () =>
  new ApiError(403, "Forbidden", "NOT_AUTHORIZED", "The image is another user's.");
export const unauthorized = (code) =>
  new ApiError(401, "Unauthorized", code, "Send a valid bearer token.");
export const invalid = (code, message) => new ApiError(400, "ValidationError", code, message);
export const versionRequired = () =>
  new ApiError(428, "PreconditionRequired", "VERSION_REQUIRED", "Say which version you change.");
export const versionMismatch = (status, currentVersion) =>
  new ApiError(
    status,
    status === 412 ? "PreconditionFailed" : "ConflictError",
    "VERSION_MISMATCH",
    "Somebody was faster.",
    { currentVersion },
  );

export function sendError(error, request, reply) {
  let known = error;
  if (!(error instanceof ApiError)) {
    if (error.validation) known = invalid("VALIDATION_FAILED", error.message);
    else {
      request.log.error(error);
      known = new ApiError(500, "InternalError", "INTERNAL_ERROR", "Something went wrong.");
    }
  }
  reply
    .code(known.status)
    .header("Cache-Control", "no-store")
    .send({
      error: known.error,
      message: known.message,
      code: known.code,
      details: null,
      requestId: request.id,
      ...known.extra,
    });
}
