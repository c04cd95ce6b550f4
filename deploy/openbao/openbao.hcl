# OpenBao of deploy/compose.yaml. It opens its seal itself, with the key in OPENBAO_UNSEAL_KEY, so that it comes back after a
# restart without anybody there. Whoever can read that key and the volume can read every secret: on a machine where others
# administrate, take the seal "static" and both parts "initialize" out, and follow https://openbao.org/docs/commands/operator/init.
storage "raft" {
  path    = "/openbao/file"
  node_id = "soma"
  # A value of 1 MiB that JSON must escape is six times as long; the default takes 1 MiB in all.
  max_entry_size = "8388608"
}

listener "tcp" {
  # Of the container; compose publishes it on 127.0.0.1 only.
  address     = "0.0.0.0:8200"
  tls_disable = true
}

api_addr     = "http://127.0.0.1:8200"
cluster_addr = "https://127.0.0.1:8201"
log_level    = "warn"

seal "static" {
  current_key_id = "compose-1"
  current_key    = "env://OPENBAO_UNSEAL_KEY"
}

# Both run once, on an empty volume. No root token is left behind.
initialize "storage" {
  request "mount" {
    operation = "update"
    path      = "sys/mounts/secret"
    data = {
      type    = "kv"
      options = { version = "2" }
    }
  }
}

initialize "platform" {
  request "policy" {
    operation = "update"
    path      = "sys/policies/acl/soma"
    data = {
      policy = <<-POLICY
        path "secret/data/soma/*" { capabilities = ["create", "update", "read"] }
        path "secret/metadata/soma/*" { capabilities = ["create", "update", "read", "list", "delete"] }
        path "sys/rotate" { capabilities = ["update", "sudo"] }
      POLICY
    }
  }

  request "token" {
    operation = "update"
    path      = "auth/token/create"
    data = {
      id = {
        eval_type   = "string"
        eval_source = "env"
        env_var     = "SOMA_VAULT_TOKEN"
      }
      policies  = ["soma"]
      period    = "768h"
      no_parent = true
    }
  }
}
