/** One field that broke its rule. */
export class FieldProblemDto {
  /** Path of the field as the client wrote it, for instance `jobs.3.task.doc_id`. */
  field!: string;
  /** The rule it broke. */
  message!: string;
}

/** An error: RFC 9457 problem details. */
export class ProblemDto {
  /** Identifies the kind of problem; stable per `code`. */
  type!: string;
  /** Constant summary of the kind. */
  title!: string;
  /** HTTP status. */
  status!: number;
  /** What happened this time, for people. */
  detail!: string;
  /** Path of the request. */
  instance!: string;
  /** Machine-readable code; all of them stand in `docs/errors.md`. */
  code!: string;
  /** With `rate_limited`, `quota_exceeded` and `queue_full`: the rule that refused. */
  rule?: string;
  /** With `validation_failed`: the fields. */
  errors?: FieldProblemDto[];
}
