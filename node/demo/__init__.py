"""The demo: a hub and its colleges on one machine, from rosters to shared indicators, by command and HTTP alone.

    words       texts in two languages, and what can go wrong
    rosters     what a roster is here, and those of a folder
    real, made  nine rosters of real universities; three made up; both from a fixed seed
    writing     rosters as files, in the shapes that personnel offices export
    guardian    the process that ends everything, whatever becomes of the demo
    crew        processes: commands that are typed, nodes that serve
    http        a node as its API shows it
    office      what the people of one college do, by HTTP or by typing
    sticks      the college without a network
    stage       who does what when
    report      what is told at the end

It imports nothing else of the program (a contract of the linter): whatever it does, anybody can type.
"""
