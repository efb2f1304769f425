# How engines find out whether a box is well. Times are in seconds.
{ command ? [ "/bin/init" "status" ], interval ? 30, timeout ? 10, startPeriod ? 60 }:
let
  second = 1000000000; # engines count nanoseconds
in
{
  Test = if command == [ ] then [ "NONE" ] else [ "CMD" ] ++ command;
  Interval = interval * second;
  Timeout = timeout * second;
  StartPeriod = startPeriod * second;
}
