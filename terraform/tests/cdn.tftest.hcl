# CloudFront: what is cached, what is forwarded, what is let through.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "distribution" {
  command = plan

  assert {
    condition     = [for behaviour in module.cdn.resources.distribution.ordered_cache_behavior : behaviour.path_pattern] == ["/images/*.webp", "/images/*.avif"]
    error_message = "Pictures come from S3; every other path, GET /images/{id} too, goes to the service."
  }

  assert {
    condition = alltrue([
      for behaviour in module.cdn.resources.distribution.ordered_cache_behavior :
      behaviour.target_origin_id == "pictures" && behaviour.response_headers_policy_id == "headers-of-pictures" &&
      behaviour.allowed_methods == toset(["GET", "HEAD", "OPTIONS"])
    ])
    error_message = "Pictures come from the bucket, to be read only, with their own headers."
  }

  assert {
    condition = (
      module.cdn.resources.distribution.default_cache_behavior[0].target_origin_id == "api" &&
      module.cdn.resources.distribution.default_cache_behavior[0].response_headers_policy_id == "headers-of-api"
    )
    error_message = "Everything else goes to the service, with the API's headers."
  }

  # S3 checks a signature made for its own Host: the viewer's would be refused with 403.
  assert {
    condition     = alltrue([for behaviour in module.cdn.resources.distribution.ordered_cache_behavior : try(length(behaviour.origin_request_policy_id), 0) == 0])
    error_message = "No Host, nor anything else of the viewer, is forwarded to S3."
  }

  # Managed-CachingDisabled. Any other would hand one user's list to the next.
  assert {
    condition     = module.cdn.resources.distribution.default_cache_behavior[0].cache_policy_id == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    error_message = "The API is not cached."
  }

  # Managed-AllViewer: with Host, which the balancer's certificate is held against, and
  # Authorization, which CloudFront drops unless it is told otherwise.
  assert {
    condition     = module.cdn.resources.distribution.default_cache_behavior[0].origin_request_policy_id == "216adef6-5c7f-47e4-b989-5492eafa07d3"
    error_message = "The API gets the viewer's headers, Host and Authorization among them."
  }

  assert {
    condition     = toset(module.cdn.resources.distribution.default_cache_behavior[0].allowed_methods) == toset(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
    error_message = "The API gets all methods: CloudFront would answer 403 to the others, without the envelope."
  }

  # A redirect is sent after the token has crossed the net in the clear.
  assert {
    condition     = module.cdn.resources.distribution.default_cache_behavior[0].viewer_protocol_policy == "https-only"
    error_message = "The API answers over HTTPS only."
  }

  assert {
    condition     = alltrue([for behaviour in module.cdn.resources.distribution.ordered_cache_behavior : behaviour.viewer_protocol_policy == "redirect-to-https" && !behaviour.compress])
    error_message = "Pictures are sent over HTTPS, and not compressed again."
  }

  assert {
    condition = (
      module.cdn.resources.cache_policy.default_ttl == 86400 &&
      module.cdn.resources.cache_policy.max_ttl == 31536000 &&
      module.cdn.resources.cache_policy.min_ttl == 0
    )
    error_message = "24 hours by default, a year at most; no minimum, which would override an object's own word."
  }

  # A query in the key would let anyone fill the cache with copies, and get past an
  # invalidation; and with ListBucket allowed a forwarded one could list the bucket.
  assert {
    condition = alltrue([
      for key in module.cdn.resources.cache_policy.parameters_in_cache_key_and_forwarded_to_origin :
      one(key.query_strings_config).query_string_behavior == "none" &&
      one(key.cookies_config).cookie_behavior == "none" &&
      one(key.headers_config).header_behavior == "none" &&
      !key.enable_accept_encoding_brotli && !key.enable_accept_encoding_gzip
    ])
    error_message = "The path is the whole key."
  }

  assert {
    condition     = alltrue([for behaviour in module.cdn.resources.distribution.ordered_cache_behavior : behaviour.cache_policy_id == "cache-policy-of-pictures"])
    error_message = "Pictures are cached by that policy."
  }

  # By default CloudFront keeps an error for 10 s, on uncached behaviours too: one user's
  # 503 would be handed to everybody who asks for the same path.
  assert {
    condition = {
      for response in module.cdn.resources.distribution.custom_error_response : tostring(response.error_code) => response.error_caching_min_ttl
      } == {
      for code in ["400", "403", "404", "405", "414", "416", "500", "501", "502", "503", "504"] : code => 0
    }
    error_message = "No error is kept, whichever of the configurable codes."
  }

  # An error page is for the whole distribution: a 403-to-404 page meant for pictures would
  # replace the API's envelopes, code and request id included.
  assert {
    condition = alltrue([
      for response in module.cdn.resources.distribution.custom_error_response :
      try(length(response.response_page_path), 0) == 0 && try(response.response_code, null) == null
    ])
    error_message = "Errors pass through as they are."
  }

  # Another spelling of a path would be another copy, which an invalidation doesn't reach. What
  # the function does: tests/pictures.test.mjs.
  assert {
    condition = alltrue([
      for behaviour in module.cdn.resources.distribution.ordered_cache_behavior :
      [for function in behaviour.function_association : "${function.event_type} ${function.function_arn}"] == ["viewer-request arn:aws:cloudfront::111122223333:function/tests-pictures"]
    ]) && module.cdn.resources.pictures_function.publish && module.cdn.resources.pictures_function.runtime == "cloudfront-js-2.0"
    error_message = "Each picture has one path: the function at the edge sees every request before the cache does."
  }

  assert {
    condition     = module.balancer.resources.balancer.internal
    error_message = "The balancer has no public face."
  }

  assert {
    condition     = module.balancer.resources.balancer.desync_mitigation_mode == "strictest" && module.balancer.resources.balancer.drop_invalid_header_fields
    error_message = "The balancer refuses what two servers could read in two ways."
  }

  assert {
    condition = alltrue([
      for origin in module.cdn.resources.distribution.origin :
      length(origin.custom_origin_config) == 0 && length(origin.s3_origin_config) == 0
    ])
    error_message = "One origin by access control, one in the VPC; none over the internet."
  }

  assert {
    condition = alltrue([
      for origin in module.cdn.resources.distribution.origin :
      origin.origin_access_control_id == "E2TESTS" if origin.origin_id == "pictures"
    ])
    error_message = "CloudFront signs what it asks of the bucket."
  }

  assert {
    condition = (
      module.cdn.resources.origin_access_control.signing_behavior == "always" &&
      module.cdn.resources.origin_access_control.signing_protocol == "sigv4"
    )
    error_message = "Every request to the bucket is signed."
  }

  assert {
    condition = alltrue([
      for endpoint in module.cdn.resources.vpc_origin.vpc_origin_endpoint_config :
      endpoint.origin_protocol_policy == "https-only" && one(endpoint.origin_ssl_protocols).items == toset(["TLSv1.2"])
    ])
    error_message = "CloudFront speaks TLS to the balancer."
  }

  # Longer than the service's own deadlines, and the connection given up before the
  # balancer does it: else now and then a request meets a closed one and gets a 502.
  assert {
    condition = alltrue([
      for origin in module.cdn.resources.distribution.origin :
      origin.vpc_origin_config[0].origin_read_timeout == 60 &&
      origin.vpc_origin_config[0].origin_keepalive_timeout < module.balancer.resources.balancer.idle_timeout
      if origin.origin_id == "api"
    ])
    error_message = "CloudFront waits 60 s, and keeps connections for less than the balancer."
  }

  assert {
    condition = (
      module.balancer.resources.ingress.prefix_list_id == "pl-3b927c52" &&
      module.balancer.resources.ingress.cidr_ipv4 == null &&
      module.balancer.resources.ingress.from_port == 443 &&
      module.balancer.resources.ingress.to_port == 443
    )
    error_message = "Only CloudFront reaches the balancer, on 443."
  }

  assert {
    condition = (
      module.balancer.resources.listener.protocol == "HTTPS" &&
      strcontains(module.balancer.resources.listener.ssl_policy, "TLS13-1-2") &&
      module.balancer.resources.listener.certificate_arn == module.dns.certificate_arn
    )
    error_message = "The balancer shows the stage's certificate, over TLS 1.2 or newer."
  }

  # Pages on other sites embed the pictures, and scripts read them into a canvas.
  assert {
    condition = alltrue([
      for cors in module.cdn.resources.picture_headers.cors_config :
      toset(one(cors.access_control_allow_origins).items) == toset(["*"]) && !cors.access_control_allow_credentials && cors.origin_override
    ]) && length(module.cdn.resources.picture_headers.cors_config) == 1
    error_message = "Pictures carry Access-Control-Allow-Origin: *."
  }

  # That policy works for requests with an Origin only. S3 answers one that CloudFront sends,
  # so that the copy at the edge, and in a browser, has the header whoever asked first.
  assert {
    condition = {
      for origin in module.cdn.resources.distribution.origin : origin.origin_id => join(", ", [for header in origin.custom_header : "${header.name}: ${header.value}"])
    } == { pictures = "Origin: https://${var.domain_name}", api = "" }
    error_message = "S3 is always asked with an Origin; the service gets the viewer's own."
  }

  assert {
    condition = [
      for header in one(module.cdn.resources.picture_headers.custom_headers_config).items : "${header.header}: ${header.value}" if header.override
    ] == ["Cross-Origin-Resource-Policy: cross-origin"]
    error_message = "Pictures may be embedded in isolated pages too."
  }

  assert {
    condition = alltrue([
      for headers in module.cdn.resources.picture_headers.security_headers_config :
      one(headers.content_type_options).override && length([
        for hsts in headers.strict_transport_security : 1 if hsts.override && hsts.access_control_max_age_sec == 31536000 && hsts.include_subdomains
      ]) == 1
    ]) && length(module.cdn.resources.picture_headers.security_headers_config) == 1
    error_message = "Pictures are what their type says (nosniff), and come over TLS only (HSTS)."
  }

  # Two sets of CORS headers contradict each other; the service's knows the origins.
  assert {
    condition     = length(module.cdn.resources.api_headers.cors_config) == 0 && length(module.cdn.resources.api_headers.custom_headers_config) == 0
    error_message = "CloudFront adds no CORS to the API."
  }

  assert {
    condition = alltrue([
      for headers in module.cdn.resources.api_headers.security_headers_config :
      !one(headers.content_type_options).override && !one(headers.frame_options).override &&
      !one(headers.referrer_policy).override && !one(headers.strict_transport_security).override &&
      one(headers.strict_transport_security).access_control_max_age_sec == 31536000
    ]) && length(module.cdn.resources.api_headers.security_headers_config) == 1
    error_message = "The service's own security headers win."
  }

  assert {
    condition = (
      one(module.cdn.resources.distribution.viewer_certificate).minimum_protocol_version == "TLSv1.2_2021" &&
      one(module.cdn.resources.distribution.viewer_certificate).ssl_support_method == "sni-only"
    )
    error_message = "TLS 1.2 of 2021 or newer."
  }

  assert {
    condition     = module.cdn.resources.distribution.http_version == "http2and3" && module.cdn.resources.distribution.is_ipv6_enabled
    error_message = "HTTP/2 and 3, IPv6."
  }

  assert {
    condition     = module.cdn.resources.distribution.price_class == "PriceClass_100"
    error_message = "The cheapest price class."
  }

  assert {
    condition     = !contains(module.cdn.resources.log_delivery.record_fields, "cs(Cookie)") && !contains(module.cdn.resources.log_delivery.record_fields, "cs-uri-query")
    error_message = "Access logs hold no cookie and no query."
  }

  assert {
    condition     = contains(module.cdn.resources.log_delivery.record_fields, "sc-status") && contains(module.cdn.resources.log_delivery.record_fields, "cs-uri-stem")
    error_message = "Access logs hold what was asked for and answered."
  }

  assert {
    condition     = module.cdn.resources.distribution.enabled
    error_message = "It is switched on."
  }

  assert {
    condition     = output.url == "https://${var.domain_name}" && module.cdn.resources.distribution.aliases == toset([var.domain_name])
    error_message = "The stage answers under its domain."
  }
}

# imageUrls are stored by others: a domain once used must go on answering.
run "aliases" {
  command = plan

  variables {
    domain_aliases = ["pictures.example.com"]
  }

  assert {
    condition     = toset(module.cdn.resources.distribution.aliases) == toset([var.domain_name, "pictures.example.com"])
    error_message = "The distribution answers to old names."
  }

  assert {
    condition     = toset(module.dns.resources.certificate.subject_alternative_names) == toset(["pictures.example.com"]) && length(module.dns.resources.validation) == 2
    error_message = "The certificate covers old names."
  }

  assert {
    condition     = length(module.dns.resources.records) == 4
    error_message = "Each name has an A and an AAAA record."
  }

  assert {
    condition     = contains([for entry in jsondecode(module.service.resources.task_definition.container_definitions)[0].environment : "${entry.name}=${entry.value}"], "IMAGE_SERVICE_CDN_BASE_URL=https://${var.domain_name}")
    error_message = "New imageUrls have the new name."
  }
}
