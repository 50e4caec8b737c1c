# What a process is: ids, limits, environment, exec, exit statuses.
(exec sh -c 'echo replaced; exit 6'); echo $?
nosuchcommand 2>/dev/null; echo "not found: $?"
: > notexec; ./notexec 2>/dev/null; echo "not executable: $?"
printf '#!/nonexistent/interpreter\n' > badinterp; chmod +x badinterp; ./badinterp 2>/dev/null; echo "interpreter: $?"
printf '#!%s\necho "script $0 $@"\n' "$BIN/sh" > script; chmod +x script; ./script a b
printf 'echo no header\n' > plain; chmod +x plain; ./plain
env -i A=1 B=2 "$BIN/env" | sort
A=once sh -c 'echo $A'; export C=exported; sh -c 'echo $C'; unset C; sh -c 'echo ${C-gone}'
ulimit -n 50; ulimit -n; sh -c '(ulimit -f 0; echo x > toobig); echo "limit: $?"' 2>/dev/null
id -u > /dev/null && echo id; test -t 0 || echo no terminal; test -e /dev/null && echo null
echo $#; sh -c 'echo $0 $1' zero one; sh -c 'exit 300'; echo $?
(exit 255); echo $?; ! true; echo $?; true && false || echo chain
set -e; (false; echo unreachable) || echo "set -e"; set +e
set -u; (echo $undefined) 2>/dev/null; echo "unset: $?"; set +u
sh -c 'cd /nonexistent' 2>/dev/null; echo "cd: $?"
sleep 0.01; nohup sh -c 'echo nohup' 2>/dev/null | cat
timeout 0.2 sleep 5 2>/dev/null; echo "timeout: $?"
sh -c 'echo a; echo b >&2' > both 2>&1; cat both; echo x >| both; echo y >> both; cat both
a=1; (a=2); echo $a; a=$(a=3; echo $a); echo $a
which sh > /dev/null && echo which; type cd > /dev/null && echo type; hostname > /dev/null && echo hostname; uname -s
