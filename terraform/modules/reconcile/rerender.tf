# The role of `image-service rerender`, which an operator runs in a task of reconcile's definition.

resource "aws_iam_role" "rerender" {
  name        = "${var.name}-rerender"
  description = "What rerender may do"

  assume_role_policy = aws_iam_role.task.assume_role_policy
}

resource "aws_iam_role_policy" "rerender" {
  name = "rerender"
  role = aws_iam_role.rerender.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Table"
        Effect = "Allow"
        Action = [
          "dynamodb:ConditionCheckItem",
          "dynamodb:DeleteItem",
          "dynamodb:DescribeTable", # how many items there are, for its progress
          "dynamodb:GetItem",
          "dynamodb:PutItem",
          "dynamodb:Scan",
          "dynamodb:UpdateItem",
        ]
        Resource = [var.storage.table_arn]
      },
      {
        # Reads main pictures, and writes and deletes what is made of them.
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = ["${var.storage.bucket_arn}/images/*"]
      },
      {
        # Without it, S3 says of a missing picture that it may not be read.
        Sid      = "Listing"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [var.storage.bucket_arn]
      },
    ]
  })
}
