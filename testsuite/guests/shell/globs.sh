# Globbing, find, xargs, and files in general.
mkdir -p tree/a/b/c tree/d "tree/with space"
touch tree/one.c tree/two.c tree/a/three.c tree/a/b/four.h tree/d/.hidden "tree/with space/five.c"
echo tree/*.c; echo tree/*/*.c; echo tree/?wo.c; echo tree/[a-c]; echo none*; echo tree/d/.*n
find tree -name '*.c' | sort
find tree -type d | sort
find tree -name '*.c' -print0 | sort -z | xargs -0 -n 1 echo item
find tree -type f | sort | xargs -n 2 echo
find tree -type f -exec basename {} \; | sort
seq 1 5000 | xargs -n 500 echo | wc -l
seq 8 | xargs -P 4 -n 1 -I{} sh -c 'echo p{} > out.{}'; cat out.*
ln -s one.c tree/link; readlink tree/link; cat tree/link; [ -L tree/link ] && echo link
ln tree/one.c tree/hard; echo linked > tree/one.c; cat tree/hard
stat -c '%h %s %F %a' tree/hard
chmod 640 tree/one.c; stat -c %a tree/one.c; chmod +x tree/one.c; [ -x tree/one.c ] && echo executable
umask 077; touch private; stat -c %a private; umask 022
mv tree/two.c tree/d/moved.c; ls tree/d; cp -r tree copy; ls -R copy; rm -r copy; ls copy 2>/dev/null; echo "ls: $?"
mkdir one; mkdir one 2>/dev/null; echo "mkdir: $?"; rmdir one; rmdir one 2>/dev/null; echo "rmdir: $?"
cat missing 2>/dev/null; echo "cat: $?"
echo text > ro; chmod 444 ro; [ -r ro ] && echo readable
truncate -s 10000 sparse; stat -c %s sparse; od -A d -t x1 sparse | head -n 2
du -s -b tree > /dev/null 2>&1; echo du $?
test tree/one.c -nt nothing && echo newer
pwd | sed 's|.*/||'; cd tree/a; pwd | sed 's|.*/work/||'; cd ../..; pwd | sed 's|.*/||'
