# Background jobs, wait, traps, kill.
(sleep 0.1; exit 3) & wait $!; echo "wait gave $?"
for i in 1 2 3; do (exit $i) & eval "p$i=$!"; done
wait $p1; echo $?; wait $p2; echo $?; wait $p3; echo $?
sleep 30 & pid=$!; kill $pid; wait $pid 2>/dev/null; echo "killed: $?"
sleep 30 & pid=$!; kill -9 $pid; wait $pid 2>/dev/null; echo "killed: $?"
trap 'echo caught usr1' USR1; kill -USR1 $$; echo after
trap 'echo caught term' TERM; kill -TERM $$
trap '' INT; kill -INT $$; echo still here
trap - TERM
(trap 'echo bye' EXIT; echo in the subshell)
(trap 'echo got it; exit 5' HUP; kill -HUP $(sh -c 'echo $PPID'); sleep 5); echo "hup: $?"
{ sh -c 'kill -TERM $$'; } 2>/dev/null; echo "self: $?"
(sh -c 'kill -SEGV $$'; exit $?) 2>/dev/null; echo "segv: $?"
for i in 1 2 3 4 5 6 7 8; do (echo job $i > job.$i) & done; wait; cat job.*
kill -0 $$ && echo alive
kill -0 999999 2>/dev/null || echo no such process
(sleep 0.05; kill -USR1 $$) & wait; wait; echo "interrupted wait"
trap 'echo leaving with $?' EXIT
exit 4
