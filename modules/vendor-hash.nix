# What nixpkgs' buildGoModule gets for the modules of go.mod: the hash of what `go mod vendor`
# makes. checks/nix_test.go says what it has to be.
"sha256-xlwxhht6Q9RQcggDJ0TXRnIPD/+64lbD2+z78lzKLLQ="
