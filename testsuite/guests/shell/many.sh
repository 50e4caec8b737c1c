# External commands, many of them: the caller looks at us at "ready" lines.
# First a few at once, so that the threads a runtime keeps for later are there.
for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait
i=0; while [ $i -lt 20 ]; do env true; i=$((i + 1)); done
echo ready; read go
i=0; bad=0
while [ $i -lt 2000 ]; do env true || bad=$((bad + 1)); i=$((i + 1)); done
echo ready; read go
echo "done $i bad $bad"
