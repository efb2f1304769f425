# What image.Config in config.go decodes. The two are held together by
# testdata/basic.json: config_test.go compares it with what this evaluates to,
# and with what Go reads from it.
{ loader, ldconfig ? "", environment ? { }, services ? { }, processCompose ? { }, modularServices ? { } }:
{
  version = 1;
  inherit loader ldconfig environment services processCompose modularServices;
}
