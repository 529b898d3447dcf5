# What is taken for Redis' password. ElastiCache would refuse it after minutes, with everything
# else half made. A check inside a module can be expected to fail by a test of that module alone.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name                     = "tests"
  vpc_id                   = "vpc-0123456789abcdef0"
  subnet_ids               = ["subnet-a", "subnet-b"]
  client_security_group_id = "sg-task"
  node_type                = "cache.t4g.micro"
  nodes                    = 1
  token_parameter          = "/tests/redis-token"
  url_parameter            = "/tests/redis-url"
}

run "a_newline_at_the_end" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdef\n" }
  }

  assert {
    condition     = nonsensitive(output.resources.replication_group.auth_token) == "0123456789abcdef" && endswith(split("@", nonsensitive(output.resources.url.value))[0], ":0123456789abcdef")
    error_message = "The password, and nothing around it."
  }
}

run "blanks_around" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = " 0123456789abcdef \r\n" }
  }

  assert {
    condition     = nonsensitive(output.resources.replication_group.auth_token) == "0123456789abcdef" && endswith(split("@", nonsensitive(output.resources.url.value))[0], ":0123456789abcdef")
    error_message = "The password, and nothing around it."
  }
}

run "of_128_letters" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  }

  assert {
    condition     = nonsensitive(output.resources.replication_group.auth_token) == "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" && endswith(split("@", nonsensitive(output.resources.url.value))[0], ":0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
    error_message = "The password, and nothing around it."
  }
}

run "too_short" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcde" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "too_long" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "of_two_lines" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdef\n0123456789abcdef" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "with_a_blank" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdef 0123456789abcdef" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "with_a_tab" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdef\t0123456789abcdef" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "with_a_slash" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdef/0123456789abcdef" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "with_an_at" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "p@ssword0123456789abcdef" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "with_a_letter_of_another_alphabet" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "0123456789abcdefé" }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}

run "of_blanks_alone" {
  command = plan

  module {
    source = "./modules/cache"
  }

  override_data {
    target = data.aws_ssm_parameter.token
    values = { value = "                    " }
  }

  expect_failures = [aws_elasticache_replication_group.this]
}
