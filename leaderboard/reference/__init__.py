"""Records that come with the package, so that a leaderboard never opens empty, and those that others hand in.

    *.zip                one archive for each task and data set, measured by maintainers at a clean commit
    submitted/*.zip      archives of others, as `spikemark export` writes them (docs/howto/submit.md)

    shipped              reads both, and says where each record comes from
    fitness              which records may be references
    answers              what takes long to find out of them, kept in answers.json
    packing              writes the first kind, for `spikemark reference --update`
    agreement            whether a cell that was measured again is the same: `spikemark reproduce`
    submissions          what a submission has to be: `spikemark validate`
    board_difference     what it changes on the boards, for the reviewers of a pull request

A record of `submitted` is claimed. It is verified once a record of the same cell, measured by maintainers, is
among the references and agrees; then that one is shown.
"""
