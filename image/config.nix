# What image.Config in config.go decodes. The two are held together by
# testdata/basic.json: config_test.go compares it with what this evaluates to,
# and with what Go reads from it.
{ loader, ldconfig ? "", nixStore ? "", noSSH ? false, rootPassword ? false, tailscale ? { }, environment ? { }, services ? { }, processCompose ? { }, modularServices ? { } }:
{
  version = 1;
  inherit loader ldconfig nixStore noSSH rootPassword tailscale environment services processCompose modularServices;
}
